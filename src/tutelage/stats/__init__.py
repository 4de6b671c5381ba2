"""Statistics of comparisons and evaluations: fits, intervals, tests, calibration, agreement. No torch.

Pure functions of numpy arrays; whatever draws at random takes a seed. Every figure that is reported can
be given as an `Interval`. Results that follow from too little data to say anything raise `DataError`.
"""
