//! What everybody holds of a policy.

use std::{ffi::c_void, fmt};

use abi_stable::{StableAbi, sabi_trait::TD_Opaque, std_types::RArc};

use super::{
    Policy,
    abi::{PolicyAbi_TO, PolicyObj},
    adapter::Adapter,
};
use crate::{Error, LoopHandle, WatcherHandle, object_handle};

/// A shared reference to a policy, wherever it was made: built in, or in a plugin.
///
/// The methods are those of [`Policy`]; see there for errors. Each also exists as `_as(this)`, for a policy that
/// calls its base.
#[repr(transparent)]
#[derive(StableAbi)]
pub struct PolicyHandle(PolicyObj);

object_handle!(PolicyHandle(PolicyAbi_TO));

impl PolicyHandle {
    /// Puts an author's policy behind a handle.
    pub fn new(author: impl Policy) -> Self {
        Self(PolicyAbi_TO::from_ptr(RArc::new(Adapter::new(author)), TD_Opaque))
    }

    /// See [`Policy::get_event_loop`].
    pub fn get_event_loop(&self) -> Result<LoopHandle, Error> {
        self.get_event_loop_as(self)
    }

    /// See [`Policy::set_event_loop`].
    pub fn set_event_loop(&self, event_loop: Option<LoopHandle>) -> Result<(), Error> {
        self.set_event_loop_as(self, event_loop)
    }

    /// See [`Policy::new_event_loop`].
    pub fn new_event_loop(&self) -> Result<LoopHandle, Error> {
        self.new_event_loop_as(self)
    }

    /// See [`Policy::get_child_watcher`].
    pub fn get_child_watcher(&self) -> Result<WatcherHandle, Error> {
        self.get_child_watcher_as(self)
    }

    /// See [`Policy::set_child_watcher`].
    pub fn set_child_watcher(&self, watcher: Option<WatcherHandle>) -> Result<(), Error> {
        self.set_child_watcher_as(self, watcher)
    }

    /// `super().get_event_loop()` of the policy `this`.
    pub fn get_event_loop_as(&self, this: &Self) -> Result<LoopHandle, Error> {
        self.0.get_event_loop(this).into_result()
    }

    /// `super().set_event_loop(event_loop)` of the policy `this`.
    pub fn set_event_loop_as(&self, this: &Self, event_loop: Option<LoopHandle>) -> Result<(), Error> {
        self.0.set_event_loop(this, event_loop.into()).into_result()
    }

    /// `super().new_event_loop()` of the policy `this`.
    pub fn new_event_loop_as(&self, this: &Self) -> Result<LoopHandle, Error> {
        self.0.new_event_loop(this).into_result()
    }

    /// `super().get_child_watcher()` of the policy `this`.
    pub fn get_child_watcher_as(&self, this: &Self) -> Result<WatcherHandle, Error> {
        self.0.get_child_watcher(this).into_result()
    }

    /// `super().set_child_watcher(watcher)` of the policy `this`.
    pub fn set_child_watcher_as(&self, this: &Self, watcher: Option<WatcherHandle>) -> Result<(), Error> {
        self.0.set_child_watcher(this, watcher.into()).into_result()
    }

    /// See [`Policy::base`].
    pub fn base(&self) -> Option<Self> {
        self.0.base().into()
    }

    /// See [`Policy::extension`].
    pub fn extension(&self, id: &str) -> *const c_void {
        self.0.extension(id.into())
    }
}

impl fmt::Debug for PolicyHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<policy at {:#x}>", self.address())
    }
}
