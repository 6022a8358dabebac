//! The promises of the policies, through the public door: what loads, what does not, and who may.

#[cfg(test)]
mod checking;
#[cfg(test)]
mod decisions;
#[cfg(test)]
mod default_rules;
#[cfg(test)]
mod explaining;
#[cfg(test)]
mod folder;
#[cfg(test)]
mod loading;
#[cfg(test)]
mod observing;
#[cfg(test)]
mod own_use;
