"""Reading and writing of video files through PyAV, the only place that imports it."""
