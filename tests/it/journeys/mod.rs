//! The roads through the whole house, one test each: client and endpoint in this process over loopback, agent servers
//! and the demo agent as processes of the real program. Everything waits for what is observed.

mod a;
mod b;
mod c;
mod d;
mod e;
mod f;
mod house;
