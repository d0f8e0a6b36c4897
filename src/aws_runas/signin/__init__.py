"""Sign-ins: browser, device code, SAML and OIDC as state machines without I/O, and their drivers."""
