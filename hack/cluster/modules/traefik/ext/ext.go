// Package ext holds the fields that a fork of Traefik may add to its routers: none.
package ext

// HTTP adds nothing to the configuration of HTTP.
type HTTP struct{}

// Router adds nothing to a router.
type Router struct{}
