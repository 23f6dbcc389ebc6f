// Package whip takes cameras that publish by WHIP (RFC 9725) and serves players that view by WHEP (draft-ietf-wish-whep).
//
//	POST    /whip/{camera}             offer (application/sdp) → 201, the answer; Location is the session, ETag its ICE session
//	POST    /whep/{camera}             likewise, for a player
//	PATCH   /{whip,whep}/{camera}/{id} application/trickle-ice-sdpfrag: candidates with If-Match of the ETag → 204;
//	                                   an ICE restart with If-Match: * → 200, the new credentials and ETag
//	DELETE  /{whip,whep}/{camera}/{id} ends the session → 200
//	OPTIONS any                        CORS, Accept-Post, Link headers of the ICE servers
//
// Every request but OPTIONS carries a bearer token (RFC 6750), and a session ends when the right of its newest token does. Errors are
// problem documents (RFC 9457). A published camera exists while its session does.
package whip
