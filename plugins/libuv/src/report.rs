//! What becomes of errors in callbacks.

use loophost_plugin_api::{CallbackName, Error, ExceptionContext, KeyValue};

use crate::event_loop::{NAME, UvEventLoop};

impl UvEventLoop {
    #[cold]
    pub(crate) fn report_callback(&self, name: CallbackName, error: Error) {
        let details = vec![KeyValue::new("callback", name)];
        self.report("exception in a callback", Some(error), details);
    }

    /// Tells the exception handler, or the log.
    pub(crate) fn report(&self, message: &str, error: Option<Error>, mut details: Vec<KeyValue>) {
        details.push(KeyValue::new("loop", NAME));
        let handler = self.state(|_, state| state.exception_handler.clone()).ok().flatten();
        let Some(handler) = handler else {
            log(message, error.as_ref(), &details);
            return;
        };
        let context = ExceptionContext::new(message, error.as_ref(), &details);
        if let Err(second) = handler.call(&context.event()) {
            log(message, error.as_ref(), &details);
            log("exception in the exception handler", Some(&second), &details);
        }
    }
}

#[cold]
fn log(message: &str, error: Option<&Error>, details: &[KeyValue]) {
    let detail = |key| details.iter().find(|pair| pair.key() == key).map_or("?", KeyValue::value);
    let (event_loop, callback) = (detail("loop"), detail("callback"));
    match error {
        Some(error) => tracing::error!(r#loop = event_loop, callback, "{message}: {error}"),
        None => tracing::error!(r#loop = event_loop, callback, "{message}"),
    }
}
