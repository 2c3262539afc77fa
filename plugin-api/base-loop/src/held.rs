//! A callback that is called often, and is moved out of the state while it runs.

use loophost_plugin_api::RepeatCallback;

/// A place for a [`RepeatCallback`].
///
/// While the callback runs it is away; if meanwhile it was removed or replaced, the number that it left with does
/// not match any more when it comes back, and whoever brings it back drops it.
#[derive(Default)]
pub(crate) struct Held {
    place: Place,
    /// Changes with each `set` and `clear`.
    number: u32,
}

#[derive(Default)]
enum Place {
    #[default]
    Empty,
    Here(RepeatCallback),
    Away,
}

/// What becomes of a callback that is no longer wanted: dropped by the caller once nothing is borrowed.
pub(crate) type Dropped = Option<RepeatCallback>;

impl Held {
    pub(crate) fn new(callback: RepeatCallback) -> Self {
        Self { place: Place::Here(callback), number: 0 }
    }

    /// Puts a callback here; returns the one that was here.
    #[must_use]
    pub(crate) fn set(&mut self, callback: RepeatCallback) -> Dropped {
        self.change(Place::Here(callback))
    }

    /// Empties the place; returns what was here.
    #[must_use]
    pub(crate) fn clear(&mut self) -> Dropped {
        self.change(Place::Empty)
    }

    fn change(&mut self, place: Place) -> Dropped {
        self.number = self.number.wrapping_add(1);
        match std::mem::replace(&mut self.place, place) {
            Place::Here(callback) => Some(callback),
            Place::Empty | Place::Away => None,
        }
    }

    /// Whether there is a callback, here or away.
    pub(crate) fn is_set(&self) -> bool {
        !matches!(self.place, Place::Empty)
    }

    /// Moves the callback out to be called; `None` if there is none, or it is running already.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<(RepeatCallback, u32)> {
        match std::mem::replace(&mut self.place, Place::Away) {
            Place::Here(callback) => Some((callback, self.number)),
            place => {
                self.place = place;
                None
            }
        }
    }

    /// Brings the callback back; returns it if it is no longer wanted.
    #[inline]
    #[must_use]
    pub(crate) fn put_back(&mut self, callback: RepeatCallback, number: u32) -> Dropped {
        if self.number == number && matches!(self.place, Place::Away) {
            self.place = Place::Here(callback);
            None
        } else {
            Some(callback)
        }
    }
}
