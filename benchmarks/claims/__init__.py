"""What is claimed, as programs that measure it: one package a subject, one module a row of its table.

`python -m benchmarks.claims main-job` measures a subject, `main-job.resume` one row of it. Each module
says in `CLAIMS` what it claims and what number would hold, and `measure()` yields the numbers; whether a
claim holds is computed from them, in one place (`claim.py`).
"""
