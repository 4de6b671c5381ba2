"""The stages, wired: each module's `run(context)` opens what it needs, calls one room, and saves.

Stages meet here through records and artifacts alone. Nothing in here is mathematics.
"""
