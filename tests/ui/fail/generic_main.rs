#[prefork::main]
fn main<T: Default>(_text: Option<T>) {}

mod other {
    #[prefork::main]
    fn main()
    where
        u8: Copy,
    {
    }
}
