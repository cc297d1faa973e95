"""What PySniff claims about speed and memory, each claim beside a peer measured in the same run.

`python -m benchmarks.run` from the root of the project runs all of it; every module runs alone too.
"""
