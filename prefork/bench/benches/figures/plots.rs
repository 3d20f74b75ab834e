//! Plots of the latency of a steady load during the start, the kill and the stop of 1 to 1,000
//! workers.

use std::error::Error;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use plotters::prelude::*;

use crate::proc;
use crate::server::{Kind, Server, settle};
use crate::steady::{RATE, Refused, Request, load};

const FLEETS: [usize; 4] = [1, 10, 100, 1000];
const PERIOD: Duration = Duration::from_secs(4);
/// When a running server gets its event.
const EVENT_AT: Duration = Duration::from_secs(1);

/// The requests to one server, and the time of its event.
struct Run {
    workers: usize,
    requests: Vec<Request>,
    event_at: Duration,
}

/// Runs a server with this number of workers.
type Scenario = fn(usize) -> Run;

/// Draws all plots into a directory.
pub(crate) fn draw(directory: &Path) {
    std::fs::create_dir_all(directory).expect("the directory can be created");
    let plots: [(&str, &str, Scenario); 3] = [
        ("start", "the master starts", start),
        ("kill", "all workers are killed at once", kill_all),
        ("stop", "the master is asked to stop", stop),
    ];
    for (name, event, scenario) in plots {
        eprintln!("{name} …");
        let runs = FLEETS.map(scenario);
        let path = directory.join(name).with_extension("svg");
        draw_plot(&path, event, &runs).expect("the plot can be written");
    }
}

/// The load begins before the server listens.
fn start(workers: usize) -> Run {
    let server = Server::start(Kind::Prefork, workers);
    let (addr, begin) = (server.addr, server.started_at);
    let users = thread::spawn(move || load(addr, begin, PERIOD, Refused::TryAgain));
    server.wait_for_reports();
    let event_at = server.started_at.elapsed();
    let requests = users.join().expect("the load thread does not panic");
    Run {
        workers,
        requests,
        event_at,
    }
}

fn kill_all(workers: usize) -> Run {
    let server = Server::ready(Kind::Prefork, workers);
    settle();
    let begin = Instant::now();
    let addr = server.addr;
    let users = thread::spawn(move || load(addr, begin, PERIOD, Refused::GiveUp));
    thread::sleep(EVENT_AT.saturating_sub(begin.elapsed()));
    let event_at = begin.elapsed();
    for worker in proc::children(server.master) {
        kill(worker, Signal::SIGKILL).expect("the worker is running");
    }
    server.wait_for_reports();
    let requests = users.join().expect("the load thread does not panic");
    Run {
        workers,
        requests,
        event_at,
    }
}

fn stop(workers: usize) -> Run {
    let server = Server::ready(Kind::Prefork, workers);
    settle();
    let begin = Instant::now();
    let addr = server.addr;
    let users = thread::spawn(move || load(addr, begin, PERIOD / 2, Refused::GiveUp));
    thread::sleep(EVENT_AT.saturating_sub(begin.elapsed()));
    let event_at = begin.elapsed();
    server.ask_to_stop();
    server.wait();
    let requests = users.join().expect("the load thread does not panic");
    Run {
        workers,
        requests,
        event_at,
    }
}

type Drawn<T> = Result<T, Box<dyn Error>>;

/// Draws one panel for each fleet, from top to bottom.
fn draw_plot(path: &Path, event: &str, runs: &[Run]) -> Drawn<()> {
    const PANEL: u32 = 190;
    let height = PANEL * u32::try_from(runs.len())? + 30;
    let root = SVGBackend::new(path, (760, height)).into_drawing_area();
    root.fill(&WHITE)?;
    let title = format!("latency of {RATE} requests a second; {event} at the line");
    let root = root.titled(&title, ("sans-serif", 17))?;
    for (panel, run) in root.split_evenly((runs.len(), 1)).iter().zip(runs) {
        draw_panel(panel, run)?;
    }
    root.present()?;
    Ok(())
}

fn draw_panel(panel: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>, run: &Run) -> Drawn<()> {
    let (least, most) = (0.1, 10_000.0);
    let end = run.requests.iter().map(|request| request.at).max();
    let end = end.unwrap_or(PERIOD).as_secs_f64();
    let mut chart = ChartBuilder::on(panel)
        .margin(6)
        .margin_right(20)
        .caption(caption(run), ("sans-serif", 14))
        .x_label_area_size(24)
        .y_label_area_size(62)
        .build_cartesian_2d(0.0..end, (least..most).log_scale())?;
    chart
        .configure_mesh()
        .x_labels(9)
        .y_labels(6)
        .x_label_formatter(&|seconds| format!("{seconds:.1} s"))
        .y_label_formatter(&|milliseconds| format!("{milliseconds} ms"))
        .light_line_style(TRANSPARENT)
        .draw()?;
    let event_at = run.event_at.as_secs_f64();
    let line = [(event_at, least), (event_at, most)];
    chart.draw_series(LineSeries::new(line, BLACK.mix(0.6)))?;
    chart.draw_series(answers(&run.requests, BLUE.mix(0.5).filled()))?;
    chart.draw_series(unanswered(&run.requests, least, RED.mix(0.5).filled()))?;
    Ok(())
}

type Dot = Circle<(f64, f64), i32>;

fn answers(requests: &[Request], style: ShapeStyle) -> impl Iterator<Item = Dot> + '_ {
    requests.iter().filter_map(move |request| {
        let point = (request.at.as_secs_f64(), request.took?.as_secs_f64() * 1e3);
        Some(Circle::new(point, 2, style))
    })
}

/// Draws requests without a response at the bottom.
fn unanswered(requests: &[Request], y: f64, style: ShapeStyle) -> impl Iterator<Item = Dot> + '_ {
    let lost = requests.iter().filter(|request| request.took.is_none());
    lost.map(move |request| Circle::new((request.at.as_secs_f64(), y), 2, style))
}

fn caption(run: &Run) -> String {
    let Run {
        workers,
        requests,
        event_at,
    } = run;
    let answered: Vec<_> = requests.iter().filter_map(|request| request.took).collect();
    let longest = answered.iter().max().map_or(0.0, Duration::as_secs_f64) * 1e3;
    let before = requests.iter().filter(|request| request.at <= *event_at);
    let lost_before = before.filter(|request| request.took.is_none()).count();
    let s = if *workers == 1 { "" } else { "s" };
    format!(
        "{workers} worker{s}: {} of {} answered, the longest after {longest:.0} ms; {lost_before} lost that came before the line",
        answered.len(),
        requests.len(),
    )
}
