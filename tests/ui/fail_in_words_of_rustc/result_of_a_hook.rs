fn count(_child: &prefork::ChildSpawned) -> usize {
    4
}

#[prefork::main(on_child_spawn = count, init = |role| role.to_string())]
fn main() {}
