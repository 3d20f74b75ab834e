//! A layer for HTTP servers: in a drain, responses announce that their connection closes.
//!
//! It knows whether the worker drains, and counts requests. It does not know when `shutdown()`
//! resolves: the worker decides that.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use ::http::header::{CONNECTION, HeaderValue};
use ::http::{Method, Request, Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::worker::{ShutdownProgress, Worker, progress};

/// A [`tower::Layer`](Layer) that lets HTTP clients leave a worker without a failed request.
///
/// An HTTP server can close an idle kept connection at the moment at which the client sends the
/// next request on it, and then that request fails. With this layer, the drain of a worker has a
/// *closing phase*. In it, every HTTP/1 response contains `Connection: close`, so the client opens
/// its next connection elsewhere. Requests on kept connections are answered. When no accepted
/// connection is open, at the latest after [`keepalive_grace`](crate::Prefork::keepalive_grace),
/// [`shutdown`](crate::shutdown()) resolves.
///
/// - *HTTP/2 and HTTP/3*: the header is forbidden (RFC 9113, section 8.2.2), and no response gets
///   it. Servers on hyper send GOAWAY when `shutdown()` resolves, and answer the requests that were
///   sent before.
/// - *Upgrades* (status 101, and CONNECT with a status of success) keep their headers.
///
/// The layer is installed as soon as it was created: from then on the drain has a closing phase,
/// also for connections whose service does not have the layer. Create it before the server begins
/// to accept. Its clones count together.
///
/// The layer also counts requests: [`Worker::request_count`] and [`Worker::requests_in_flight`].
///
/// # Process
/// In a worker and in single-process mode, also in `init`. In other processes, for example in a
/// test that calls the router directly, it only passes requests on. It handles SIGTERM as a call of
/// [`shutdown`](crate::shutdown()) does.
///
/// # Examples
/// ```no_run
/// # fn app() -> Router { Router }
/// # struct Router;
/// # impl Router { fn layer(self, _: prefork::http::DrainLayer) -> Self { self } }
/// // With axum: the last `layer` is the outermost one, and sees every response.
/// let app = app().layer(prefork::http::DrainLayer::new());
/// ```
#[derive(Debug, Clone)]
#[must_use = "add it to the service"]
pub struct DrainLayer {
    progress: Arc<ShutdownProgress>,
}

impl DrainLayer {
    /// Creates the layer. The drain of this worker has a closing phase from now on.
    #[expect(
        clippy::new_without_default,
        reason = "a default would hide that the call changes the drain"
    )]
    pub fn new() -> Self {
        let progress = progress();
        progress.announce_close();
        Self { progress }
    }
}

impl<S> Layer<S> for DrainLayer {
    type Service = DrainService<S>;

    fn layer(&self, inner: S) -> DrainService<S> {
        DrainService {
            inner,
            progress: Arc::clone(&self.progress),
        }
    }
}

/// The service that [`DrainLayer`] creates.
#[derive(Debug, Clone)]
pub struct DrainService<S> {
    inner: S,
    progress: Arc<ShutdownProgress>,
}

impl<S, Q, B> Service<Request<Q>> for DrainService<S>
where
    S: Service<Request<Q>, Response = Response<B>>,
{
    type Response = Response<DrainBody<B>>;
    type Error = S::Error;
    type Future = DrainFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        self.progress.requests.begin();
        let in_flight = InFlight(Arc::clone(&self.progress));
        DrainFuture {
            version: request.version(),
            is_connect: request.method() == Method::CONNECT,
            in_flight: Some(in_flight),
            inner: self.inner.call(request),
        }
    }
}

pin_project! {
    /// The response of a [`DrainService`].
    #[derive(Debug)]
    pub struct DrainFuture<F> {
        version: Version,
        is_connect: bool,
        in_flight: Option<InFlight>,
        #[pin]
        inner: F,
    }
}

impl<F, B, E> Future for DrainFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<DrainBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.inner.poll(cx))?;
        let status = response.status();
        let is_upgrade =
            status == StatusCode::SWITCHING_PROTOCOLS || (*this.is_connect && status.is_success());
        let in_flight = this.in_flight.take();
        let is_closing = in_flight.as_ref().is_some_and(|one| one.0.is_closing());
        if is_closing && *this.version <= Version::HTTP_11 && !is_upgrade {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        Poll::Ready(Ok(response.map(|inner| DrainBody { in_flight, inner })))
    }
}

pin_project! {
    /// The body of a response. Its request is in flight until the body ends or is dropped.
    #[derive(Debug)]
    pub struct DrainBody<B> {
        in_flight: Option<InFlight>,
        #[pin]
        inner: B,
    }
}

impl<B: Body> Body for DrainBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let frame = ready!(this.inner.as_mut().poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) || this.inner.is_end_stream() {
            *this.in_flight = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Counts a request as in flight until it is dropped.
#[derive(Debug)]
struct InFlight(Arc<ShutdownProgress>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.requests.end();
    }
}

/// What [`DrainLayer`] counts.
impl Worker {
    /// Returns the number of requests that this worker has received, with those in flight.
    ///
    /// It counts what passes a [`DrainLayer`].
    #[cfg_attr(docsrs, doc(cfg(feature = "http")))]
    pub fn request_count(&self) -> u64 {
        self.progress().requests.count()
    }

    /// Returns the number of requests in flight.
    ///
    /// A request is in flight until the body of its response has ended or was dropped. It counts
    /// what passes a [`DrainLayer`].
    #[cfg_attr(docsrs, doc(cfg(feature = "http")))]
    pub fn requests_in_flight(&self) -> usize {
        self.progress().requests.in_flight()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::future::{Ready, ready};
    use std::pin::pin;
    use std::task::Waker;
    use std::time::Instant;

    use super::*;

    /// Answers each request with this status and two parts of a body.
    #[derive(Clone)]
    struct Answer(StatusCode);

    #[derive(Debug)]
    struct Parts(VecDeque<&'static [u8]>);

    impl Service<Request<()>> for Answer {
        type Response = Response<Parts>;
        type Error = Infallible;
        type Future = Ready<Result<Response<Parts>, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<()>) -> Self::Future {
            let response = Response::builder().status(self.0);
            let response = response.header(CONNECTION, "of the handler");
            let body = Parts([b"a".as_slice(), b"b"].into());
            ready(Ok(response.body(body).expect("a valid header")))
        }
    }

    impl Body for Parts {
        type Data = &'static [u8];
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Self::Data>, Infallible>>> {
            Poll::Ready(self.0.pop_front().map(|part| Ok(Frame::data(part))))
        }
    }

    fn layer() -> DrainLayer {
        DrainLayer {
            progress: Arc::default(),
        }
    }

    fn call(layer: &DrainLayer, status: u16, request: Request<()>) -> Response<DrainBody<Parts>> {
        let status = StatusCode::from_u16(status).expect("a status");
        let mut response = pin!(layer.layer(Answer(status)).call(request));
        match response
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(Ok(response)) => response,
            Poll::Pending => panic!("the service answers at once"),
        }
    }

    fn request(method: Method, version: Version) -> Request<()> {
        let request = Request::builder().method(method).version(version);
        request.body(()).expect("a request")
    }

    #[test]
    fn responses_of_http_1_announce_the_close_in_a_drain() {
        let layer = layer();
        let of_handler = "of the handler";
        for (is_draining, version, method, status, expected) in [
            (false, Version::HTTP_11, Method::GET, 200, of_handler),
            (true, Version::HTTP_11, Method::GET, 200, "close"),
            (true, Version::HTTP_11, Method::POST, 500, "close"),
            (true, Version::HTTP_10, Method::GET, 200, "close"),
            (true, Version::HTTP_2, Method::GET, 200, of_handler),
            (true, Version::HTTP_3, Method::GET, 200, of_handler),
            (true, Version::HTTP_11, Method::GET, 101, of_handler),
            (true, Version::HTTP_11, Method::CONNECT, 200, of_handler),
            (true, Version::HTTP_11, Method::CONNECT, 403, "close"),
        ] {
            if is_draining {
                layer.progress.begin(Instant::now());
            }
            let response = call(&layer, status, request(method, version));
            assert_eq!(response.headers()[CONNECTION], expected, "{response:?}");
        }
    }

    #[test]
    fn a_request_is_in_flight_until_its_body_ends_or_is_dropped() {
        let layer = layer();
        let requests = &layer.progress.requests;
        let get = || call(&layer, 200, request(Method::GET, Version::HTTP_11));
        let (first, second) = (get(), get());
        assert_eq!((requests.count(), requests.in_flight()), (2, 2));
        drop(second);
        assert_eq!(requests.in_flight(), 1);
        let mut body = pin!(first.into_body());
        let mut cx = Context::from_waker(Waker::noop());
        for left in [1, 1, 0] {
            let _ = body.as_mut().poll_frame(&mut cx);
            assert_eq!(requests.in_flight(), left);
        }
        // The client has closed its connection.
        let service = &mut layer.layer(Answer(StatusCode::OK));
        drop(service.call(request(Method::GET, Version::HTTP_11)));
        assert_eq!((requests.count(), requests.in_flight()), (3, 0));
    }

    #[test]
    fn a_layer_outside_of_a_worker_only_passes_requests_on() {
        let layer = DrainLayer::new();
        let response = call(&layer, 200, request(Method::GET, Version::HTTP_11));
        assert_eq!(response.headers()[CONNECTION], "of the handler");
    }
}
