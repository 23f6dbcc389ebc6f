// Package template reads a CDK cloud assembly and plans the resources that the local
// stack emulates: Read resolves the references between its stacks and returns a Plan.
//
// Names that CloudFormation generates are derived from the stack and the logical id, so
// they are the same on each run. The account is 000000000000 and the region eu-central-1
// unless the assembly sets them.
//
// Read resolves Ref, Fn::GetAtt, Fn::Join, Fn::Sub, Fn::Select, Fn::Split, Fn::If,
// Fn::ImportValue, Fn::FindInMap, Fn::Base64, the condition functions, the defaults of
// parameters, parameters in Parameter Store that a stack publishes, and the pseudo
// parameters. Another function in an emulated resource is an
// error that names the stack and the resource. Resources that are not emulated are not
// resolved but listed, each with the reason.
package template
