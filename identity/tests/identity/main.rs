//! The laws of the words, and every way in which a token can be wrong.

#[cfg(test)]
mod laws;
#[cfg(test)]
mod logout;
#[cfg(test)]
mod signer;
#[cfg(test)]
mod tokens;
