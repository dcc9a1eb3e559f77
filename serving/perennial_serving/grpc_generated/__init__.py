"""Made by hack/stubs from open_inference.proto, which is the published Open Inference Protocol v2 as it is."""
