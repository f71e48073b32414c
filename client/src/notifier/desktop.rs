//! The only place that talks to the desktop.

use std::time::Duration;

use notify_rust::Notification;
use tokio::time::timeout;

use super::notice::{Markup, Notice, Urgency};

/// How long the desktop may take for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// Who notifications come from.
const APP_NAME: &str = "handoff";

/// The desktop does not show notifications (now).
#[derive(Debug, thiserror::Error)]
pub enum DesktopError {
    /// There is no session bus, nobody on it who shows notifications, or they refuse.
    #[error("the desktop's notification service cannot be reached")]
    Service(#[from] notify_rust::error::Error),
    /// It does not answer.
    #[error("the desktop's notification service does not answer within {} s", ANSWER_TIMEOUT.as_secs())]
    TimedOut,
}

/// Shows a notification; returns when the desktop has taken it.
///
/// # Errors
///
/// Where the desktop has not, as far as is known.
pub(super) async fn show(notice: &Notice) -> Result<(), DesktopError> {
    timeout(ANSWER_TIMEOUT, platform::show(notice))
        .await
        .map_err(|_elapsed| DesktopError::TimedOut)?
}

/// Asks who shows notifications here.
///
/// # Errors
///
/// Where nobody does.
pub async fn service() -> Result<String, DesktopError> {
    timeout(ANSWER_TIMEOUT, platform::service()).await.map_err(|_elapsed| DesktopError::TimedOut)?
}

#[cfg(all(unix, not(target_os = "macos")))]
mod platform {
    use super::*;

    pub(super) async fn show(notice: &Notice) -> Result<(), DesktopError> {
        let capabilities = blocking(notify_rust::get_capabilities).await?;
        let markup = match capabilities.iter().any(|capability| capability == "body-markup") {
            true => Markup::Read,
            false => Markup::Shown,
        };
        let urgency = match notice.urgency {
            Urgency::Normal => notify_rust::Urgency::Normal,
            Urgency::Critical => notify_rust::Urgency::Critical,
        };
        let mut notification = Notification::new();
        notification
            .appname(APP_NAME)
            .summary(&notice.summary)
            .body(&notice.body(markup))
            .urgency(urgency);
        notification.show_async().await?;
        Ok(())
    }

    pub(super) async fn service() -> Result<String, DesktopError> {
        let server = blocking(notify_rust::get_server_information).await?;
        Ok(format!("{} {}", server.name, server.version))
    }

    /// These calls start a runtime of their own, which a thread of ours must not.
    async fn blocking<T: Send + 'static>(
        call: fn() -> notify_rust::error::Result<T>,
    ) -> Result<T, DesktopError> {
        match tokio::task::spawn_blocking(call).await {
            Ok(answer) => Ok(answer?),
            Err(_panicked) => Err(DesktopError::TimedOut),
        }
    }
}

#[cfg(target_os = "macos")]
mod platform {
    use super::*;

    pub(super) async fn show(notice: &Notice) -> Result<(), DesktopError> {
        let mut notification = Notification::new();
        notification.appname(APP_NAME).summary(&notice.summary).body(&notice.body(Markup::Shown));
        match tokio::task::spawn_blocking(move || notification.show().map(drop)).await {
            Ok(shown) => Ok(shown?),
            Err(_panicked) => Err(DesktopError::TimedOut),
        }
    }

    pub(super) async fn service() -> Result<String, DesktopError> {
        Ok("macOS".to_owned())
    }
}
