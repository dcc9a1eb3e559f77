package auth

import (
	"net/http"
	"strings"
)

// What Traefik's fork of this package adds to it.

// CheckSecret tells whether a password is the one that an entry of a htpasswd file holds.
func CheckSecret(password, secret string) bool {
	compare := compareFuncs[0].compare
	for _, known := range compareFuncs[1:] {
		if strings.HasPrefix(secret, known.prefix) {
			compare = known.compare
		}
	}
	return compare([]byte(secret), []byte(password)) == nil
}

// RequireAuthStale asks for the credentials anew.
func (a *DigestAuth) RequireAuthStale(w http.ResponseWriter, r *http.Request) {
	a.RequireAuth(w, r)
}
