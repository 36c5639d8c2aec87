"""What is done to pixels: colour, resampling, warping and blending, with one contract for every device."""
