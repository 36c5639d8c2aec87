"""What runs: media, timeline, tiles, engines, motion and the pipeline that joins them."""
