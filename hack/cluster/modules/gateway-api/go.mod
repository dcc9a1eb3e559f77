// The definitions of the Gateway API, of the version that ../traefik is made for.
module perennial.dev/hack/gateway-api

go 1.26.0

require sigs.k8s.io/gateway-api v1.6.1 // indirect
