"""Classic drift statistics and stream detectors, for those who know what they want. See `detectors.registry`."""
