//! Names and passwords of the development realm. They are public, so whatever knows them listens on loopback only; none of
//! them may ever be used in production.

/// Name and password of the administrator of Keycloak's realm `master`.
pub const ADMIN: (&str, &str) = ("admin", "admin");
/// The password of `alice`.
pub const ALICE_PASSWORD: &str = "alice";
/// The password of `bob`.
pub const BOB_PASSWORD: &str = "bob";
/// The secret of the client `test-login`, which signs users in with their password.
pub const TEST_LOGIN_SECRET: &str = "test-login-secret";

/// What the realm files' variables are while the database is made. The addresses are placeholders, on the port that
/// discards: each run sets its own by the admin API.
pub(crate) const VARIABLES: [(&str, &str); 7] = [
    ("TRUST_DOMAIN", "corp.example"),
    ("SPIRE_BUNDLE_URL", "http://127.0.0.1:9/keys"),
    ("BROKER_LOGOUT_URL", "http://127.0.0.1:9/backchannel-logout"),
    ("CONSOLE_REDIRECT_URI", "https://console.corp.example/cb"),
    ("ALICE_PASSWORD", ALICE_PASSWORD),
    ("BOB_PASSWORD", BOB_PASSWORD),
    ("TEST_LOGIN_SECRET", TEST_LOGIN_SECRET),
];
