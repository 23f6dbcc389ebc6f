// Authentication: people by password and refresh token, gateways by an assertion signed
// with their own key (RFC 7523, private_key_jwt, ES256).
import encoding from 'k6/encoding';
import { call, must } from './call.js';

const curve = { name: 'ECDSA', namedCurve: 'P-256' };

export function login(name, password) {
  return pair(must('POST', '/v1/login', { kind: 'login', body: { name, password } }));
}

// refresh exchanges a refresh token, which is valid once, for the next pair of tokens. It
// returns null if the token is not valid any more.
export function refresh(token) {
  const response = call('POST', '/v1/refresh', { kind: 'refresh', body: { refresh_token: token } });
  return response.status === 200 ? pair(response) : null;
}

function pair(response) {
  const { access_token: access, refresh_token: next, expires_in: seconds } = response.json();
  return { access, refresh: next, until: Date.now() + seconds * 1000 };
}

// newKey generates a gateway's key. The private key is a JWK, so that setup can pass it to
// the virtual users; it never leaves k6.
export async function newKey() {
  const key = await crypto.subtle.generateKey(curve, true, ['sign', 'verify']);
  const { x, y, d } = await crypto.subtle.exportKey('jwk', key.privateKey);
  // k6 1.8 omits leading zeros of x and y, in one key of 128. RFC 7518, 6.2.1.2 requires all
  // 32 bytes of each, and the platform rejects other keys.
  if ([x, y, d].some((part) => part.length !== 43)) return newKey();
  const open = { kty: 'EC', crv: 'P-256', x, y };
  // The thumbprint of RFC 7638: these members, in this order.
  const digest = await crypto.subtle.digest('SHA-256', bytes(JSON.stringify({ crv: open.crv, kty: open.kty, x, y })));
  return { open, secret: { ...open, d }, id: encoding.b64encode(digest, 'rawurl') };
}

// gatewayToken gets an access token for the gateway with the key.
export async function gatewayToken(gateway, key, audience) {
  const now = Math.floor(Date.now() / 1000);
  const header = { alg: 'ES256', typ: 'JWT', kid: key.id };
  const claims = { iss: gateway, sub: gateway, aud: audience, iat: now, exp: now + 60, jti: crypto.randomUUID() };
  const text = [header, claims].map((part) => encoding.b64encode(JSON.stringify(part), 'rawurl')).join('.');
  const signer = await crypto.subtle.importKey('jwk', key.secret, curve, false, ['sign']);
  const signature = await crypto.subtle.sign({ name: 'ECDSA', hash: 'SHA-256' }, signer, bytes(text));
  const form = {
    grant_type: 'client_credentials',
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    client_assertion: `${text}.${encoding.b64encode(signature, 'rawurl')}`,
  };
  const response = must('POST', '/v1/token', {
    kind: 'token',
    headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
    body: Object.entries(form).map(([k, v]) => `${k}=${encodeURIComponent(v)}`).join('&'),
  });
  const { access_token: access, expires_in: seconds } = response.json();
  return { access, until: Date.now() + seconds * 1000 };
}

// bytes returns the bytes of an ASCII text.
function bytes(text) {
  const out = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) out[i] = text.charCodeAt(i);
  return out;
}
