//! `#[rocket::launch]` below is recognized by its path; above, by the function that it generates.

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
