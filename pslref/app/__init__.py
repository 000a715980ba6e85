"""The instruments: runs of the method, their tables and pictures, and the command line."""
