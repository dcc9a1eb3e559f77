// Holds our dashboards against Grafana's schema, by the types that Grafana generates of it (Apache-2.0).
module perennial.dev/hack/grafana-schema

go 1.24

require github.com/grafana/grafana-foundation-sdk/go v0.0.22
