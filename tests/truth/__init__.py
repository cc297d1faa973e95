"""The public captures against what tshark says is in them: corpus, records, matching, verdicts."""
