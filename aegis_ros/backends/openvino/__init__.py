"""OpenVINO: Intel's runtime for processors, and for Intel's GPUs and NPUs."""
