"""What `python -m qunn.forecast` is made of: CSV -> series -> training -> back-test -> page, picture, files."""
