"""The one door for people and programs: asks the workers, and merges what they say."""
