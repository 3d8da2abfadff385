// Package oidc lets people sign in with their company's account: OpenID Connect's code flow with PKCE, state and nonce.
package oidc
