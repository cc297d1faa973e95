"""What IANA's numbers of TLS mean: versions, alerts, extensions, groups."""

from __future__ import annotations

from pysniff.tls.suites import is_grease

TLS10, TLS11, TLS12, TLS13 = 0x0301, 0x0302, 0x0303, 0x0304

# Content types of records.
CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA, HEARTBEAT = range(20, 25)
# Types of handshake messages that are looked at.
HELLO_REQUEST, CLIENT_HELLO, SERVER_HELLO = 0, 1, 2
NEW_SESSION_TICKET, END_OF_EARLY_DATA, ENCRYPTED_EXTENSIONS = 4, 5, 8
SERVER_HELLO_DONE, FINISHED, KEY_UPDATE = 14, 20, 24
HANDSHAKE_TYPES = frozenset({0, 1, 2, 4, 5, 8, 11, 12, 13, 14, 15, 16, 20, 21, 22, 23, 24, 25, 67, 254})
# Of extensions.
SERVER_NAME, SUPPORTED_GROUPS, POINT_FORMATS, SIGNATURE_ALGORITHMS, ALPN = 0, 10, 11, 13, 16
ENCRYPT_THEN_MAC, SESSION_TICKET, PRE_SHARED_KEY, EARLY_DATA, SUPPORTED_VERSIONS, KEY_SHARE = 22, 35, 41, 42, 43, 51

_VERSIONS = {0x0002: "SSL 2.0", 0x0300: "SSL 3.0", TLS10: "1.0", TLS11: "1.1", TLS12: "1.2", TLS13: "1.3"}

_ALERTS = {
    0: "close_notify",
    10: "unexpected_message",
    20: "bad_record_mac",
    21: "decryption_failed",
    22: "record_overflow",
    30: "decompression_failure",
    40: "handshake_failure",
    41: "no_certificate",
    42: "bad_certificate",
    43: "unsupported_certificate",
    44: "certificate_revoked",
    45: "certificate_expired",
    46: "certificate_unknown",
    47: "illegal_parameter",
    48: "unknown_ca",
    49: "access_denied",
    50: "decode_error",
    51: "decrypt_error",
    52: "too_many_cids_requested",
    60: "export_restriction",
    70: "protocol_version",
    71: "insufficient_security",
    80: "internal_error",
    86: "inappropriate_fallback",
    90: "user_canceled",
    100: "no_renegotiation",
    109: "missing_extension",
    110: "unsupported_extension",
    111: "certificate_unobtainable",
    112: "unrecognized_name",
    113: "bad_certificate_status_response",
    114: "bad_certificate_hash_value",
    115: "unknown_psk_identity",
    116: "certificate_required",
    117: "general_error",
    120: "no_application_protocol",
    121: "ech_required",
}

# From 0 on; a number where nothing is registered.
_FIRST_EXTENSIONS = """
server_name max_fragment_length client_certificate_url trusted_ca_keys truncated_hmac status_request user_mapping
client_authz server_authz cert_type supported_groups ec_point_formats srp signature_algorithms use_srtp heartbeat
application_layer_protocol_negotiation status_request_v2 signed_certificate_timestamp client_certificate_type
server_certificate_type padding encrypt_then_mac extended_master_secret token_binding cached_info tls_lts
compress_certificate record_size_limit pwd_protect pwd_clear password_salt ticket_pinning tls_cert_with_extern_psk
delegated_credential session_ticket TLMSP TLMSP_proxying TLMSP_delegate supported_ekt_ciphers 40 pre_shared_key
early_data supported_versions cookie psk_key_exchange_modes 46 certificate_authorities oid_filters
post_handshake_auth signature_algorithms_cert key_share transparency_info connection_id_deprecated connection_id
external_id_hash external_session_id quic_transport_parameters ticket_request dnssec_chain
sequence_number_encryption_algorithms rrc tls_flags
"""
_EXTENSIONS = {
    **dict(enumerate(_FIRST_EXTENSIONS.split())),
    13172: "next_protocol_negotiation",
    17513: "application_settings_old",
    17613: "application_settings",
    30032: "channel_id",
    0xFD00: "ech_outer_extensions",
    0xFE0D: "encrypted_client_hello",
    0xFF01: "renegotiation_info",
}

# Names that follow one another from a number on.
_GROUPS = {
    first + place: name
    for first, names in {
        19: "secp192r1 secp224k1 secp224r1 secp256k1 secp256r1 secp384r1 secp521r1",
        26: "brainpoolP256r1 brainpoolP384r1 brainpoolP512r1 x25519 x448",
        31: "brainpoolP256r1tls13 brainpoolP384r1tls13 brainpoolP512r1tls13",
        41: "curveSM2",
        256: "ffdhe2048 ffdhe3072 ffdhe4096 ffdhe6144 ffdhe8192",
        512: "MLKEM512 MLKEM768 MLKEM1024",
        4587: "SecP256r1MLKEM768 X25519MLKEM768 SecP384r1MLKEM1024",
        25497: "X25519Kyber768Draft00",
    }.items()
    for place, name in enumerate(names.split())
}


def version_name(number: int) -> str:
    """As 1.2, SSL 3.0, GREASE, or 0x7F1C for what nobody speaks any more."""
    if is_grease(number):
        return "GREASE"
    return _VERSIONS.get(number) or f"0x{number:04X}"


def alert_name(number: int) -> str:
    return _ALERTS.get(number) or f"alert {number}"


def extension_name(number: int) -> str:
    return "GREASE" if is_grease(number) else _EXTENSIONS.get(number) or f"0x{number:04X}"


def group_name(number: int) -> str:
    return "GREASE" if is_grease(number) else _GROUPS.get(number) or f"0x{number:04X}"
