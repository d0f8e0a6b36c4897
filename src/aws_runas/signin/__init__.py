"""Signing in: browser, device code, SAML and OIDC as machines without I/O, and what drives them."""
