// Package template reads a CDK cloud assembly and says what of it can run on one
// machine: Read resolves the references between its stacks and returns a Plan.
//
// Names that CloudFormation would invent are derived from the stack and the logical
// id, so they are the same on each run. The account is 000000000000 and the region
// eu-central-1 where the assembly leaves them open.
//
// Resolved are Ref, Fn::GetAtt, Fn::Join, Fn::Sub, Fn::Select, Fn::Split, Fn::If,
// Fn::ImportValue, Fn::FindInMap, Fn::Base64, the condition functions, the defaults of
// parameters and the pseudo parameters. Another function in a resource that is to run
// is an error that names the stack and the resource. Resources that do not run are
// not resolved but listed, each with the reason.
package template
