"""Coverage-guided fuzzing: targets.py says what is checked, run.py runs one under atheris, saved/ holds the corpus.

cd tests && python -m fuzz.run http-tcp fuzz/saved/http-tcp -max_total_time=60
"""
