// tls.mjs - a certificate for "localhost" that nobody but these tests trusts, valid for a century.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

export const key = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgzbqZlIkTcLwDzgfQ
wzAcjyPM7PkJknfIccaTqXY9xO6hRANCAAQ6UbfZpz/oXpD/pLnw4B1se8aUwOrZ
+z9lNODuufYqbT2j6lUWrow2GKE9ANJfdsp9DyNQ46b52AEzCX8b4TUs
-----END PRIVATE KEY-----
`;

export const cert = `-----BEGIN CERTIFICATE-----
MIIBoDCCAUWgAwIBAgIURDRH3T/okkPAnyuCwWnEPysUQO8wCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwOVGlkZWdhdGUgdGVzdHMwIBcNMjYxMTIyMTgyMDE5WhgPMjEy
NjEwMjkxODIwMTlaMBkxFzAVBgNVBAMMDlRpZGVnYXRlIHRlc3RzMFkwEwYHKoZI
zj0CAQYIKoZIzj0DAQcDQgAEOlG32ac/6F6Q/6S58OAdbHvGlMDq2fs/ZTTg7rn2
Km09o+pVFq6MNhihPQDSX3bKfQ8jUOOm+dgBMwl/G+E1LKNpMGcwHQYDVR0OBBYE
FJdOHMUwJM2fKCsLmOVuXX/rXoagMB8GA1UdIwQYMBaAFJdOHMUwJM2fKCsLmOVu
XX/rXoagMBQGA1UdEQQNMAuCCWxvY2FsaG9zdDAPBgNVHRMBAf8EBTADAQH/MAoG
CCqGSM49BAMCA0kAMEYCIQC0dHg+zKYi6izMFG+WeguYX5wtwc0armcE7ig5zRKy
YQIhALkwvBU4EZ3tY4e6u3PuAf7Sd3f0BU9OLVw6AvatwSFd
-----END CERTIFICATE-----
`;

/** The certificate as a file: { file, remove() } */
export function certFile() {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'tidegate-tls-'));
  const file = path.join(dir, 'ca.pem');
  writeFileSync(file, cert);
  return { file, remove: () => rmSync(dir, { recursive: true }) };
}
