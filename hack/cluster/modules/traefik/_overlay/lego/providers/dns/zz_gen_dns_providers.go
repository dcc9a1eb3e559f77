// Package dns knows no provider: a gateway that orders no certificates needs none of the clouds' SDKs, which take longer
// to build than all the rest of Traefik.
package dns

import (
	"fmt"

	"github.com/go-acme/lego/v5/challenge"
)

// NewDNSChallengeProviderByName refuses every name.
func NewDNSChallengeProviderByName(name string) (challenge.Provider, error) {
	return nil, fmt.Errorf("DNS provider %s is not built in", name)
}
