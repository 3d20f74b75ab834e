//! Rocket's own attribute is not needed to refuse it below; above, this is what it leaves of its function.

pub struct Build;
pub struct Rocket<Phase>(Phase);

mod below {
    #[prefork::main]
    #[rocket::launch]
    fn rocket() -> _ {}
}

mod by_its_name {
    #[prefork::main]
    #[launch]
    async fn rocket() -> super::Rocket<super::Build> {
        super::Rocket(super::Build)
    }
}

mod above {
    #[prefork::main]
    #[allow(dead_code)]
    fn rocket() -> crate::Rocket<crate::Build> {
        crate::Rocket(crate::Build)
    }
}

fn main() {}
