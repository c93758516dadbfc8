"""House attacks, one file each: the method's source and equation stand at its top."""
