"""What is claimed, measured: `claims/` holds one program a subject, `spaces.py` the small worlds they share."""
