"""What is kept: records in a database, artifacts in folders, and the way back from one to the other.

Artifacts need no database to be read, so `artifacts` and `lineage` import without SQLAlchemy.
"""
