// Traefik keeps this module in its own tree, where the Go proxy cannot serve it from.
module github.com/traefik/traefik/dynamic/ext

go 1.26
