"""The main job: from a pretrained model to an aligned one. A module a row; the order is the table's."""

ROWS = (
    "ppo_optimum",
    "reward_recovery",
    "invariance",
    "hh_real_data",
    "effect",
    "quickstart_time",
    "resume",
    "bad_input",
    "doorway",
    "xstest",
    "fresh_clone",
)
