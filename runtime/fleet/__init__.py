"""Who makes which segment: dealing the work of one or many films to many workers."""
