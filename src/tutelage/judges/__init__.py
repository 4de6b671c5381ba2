"""Who says which answer is better, or whether it complied; each with its measured agreement with people."""
