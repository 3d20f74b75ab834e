use prefork::{Prefork, Worker};

fn serve(_worker: Worker) {}

fn main() {
    let _ = Prefork::new().workers(2).run();
    let _ = Prefork::new().workers(2).start(serve);
    let _ = Prefork::new().workers(serve).run(serve);
    let _ = Prefork::new().run(|| serve);
}
