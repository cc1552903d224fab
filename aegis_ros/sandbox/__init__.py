"""Child processes that may fail without harm, the cache of what they make, and SQLite files."""
