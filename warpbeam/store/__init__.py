"""Places of artifacts, and the record of which one this machine put live last."""
