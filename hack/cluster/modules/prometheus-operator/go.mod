// The definitions of what the Prometheus operator reads, for the test that the chart's own are taken.
module perennial.dev/hack/prometheus-operator

go 1.24

require github.com/prometheus-operator/prometheus-operator v0.85.0 // indirect
