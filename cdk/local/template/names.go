package template

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"strings"
)

// Names and ids that CloudFormation generates at the deployment are derived here from the
// stack's name and the logical id.

func digest(parts ...string) []byte {
	h := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return h[:]
}

// uuid returns a digest in the form of a random UUID.
func uuid(parts ...string) string {
	d := digest(parts...)
	d[6], d[8] = d[6]&0x0f|0x40, d[8]&0x3f|0x80
	s := hex.EncodeToString(d[:16])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

func shortID(parts ...string) string {
	return strings.ToLower(base32.StdEncoding.EncodeToString(digest(parts...)))[:10]
}

// nameOf returns the resource's own name, or stack-logicalID cut to most characters.
func (r *resolver) nameOf(id, property string, most int) (string, error) {
	if v, ok := r.stack.template.Resources[id].Properties[property]; ok {
		x, err := r.value(v)
		if err != nil {
			return "", err
		}
		if _, gone := x.(absent); !gone {
			return asText(x)
		}
	}
	name := r.stack.name + "-" + id
	if len(name) > most {
		name = name[:most-11] + "-" + shortID(r.stack.name, id)
	}
	return name, nil
}

// physicalID is what Ref returns for a resource.
func (r *resolver) physicalID(id string) (string, error) {
	switch t := r.stack.template.Resources[id].Type; t {
	case "AWS::Lambda::Function":
		return r.nameOf(id, "FunctionName", 64)
	case "AWS::Kinesis::Stream":
		return r.nameOf(id, "Name", 128)
	case "AWS::S3::Bucket":
		name, err := r.nameOf(id, "BucketName", 63)
		return strings.ToLower(name), err
	case "AWS::Lambda::EventSourceMapping", keyType:
		return uuid(r.stack.name, id), nil
	case "AWS::ApiGatewayV2::Api", "AWS::ApiGatewayV2::Authorizer", "AWS::ApiGatewayV2::Integration", "AWS::ApiGatewayV2::Route":
		return shortID(r.stack.name, id), nil
	case "AWS::ApiGatewayV2::Stage":
		return r.nameOf(id, "StageName", 128)
	case "AWS::Lambda::Version", "AWS::Lambda::Alias":
		arn, err := r.text(r.stack.template.Resources[id].Properties["FunctionName"])
		if err != nil {
			return "", err
		}
		if !strings.HasPrefix(arn, "arn:") {
			arn = r.arn("lambda", "function:"+arn)
		}
		if t == "AWS::Lambda::Alias" {
			return arn + ":live", nil
		}
		return arn + ":1", nil
	case "AWS::SecretsManager::Secret":
		name, err := r.nameOf(id, "Name", 512)
		return r.arn("secretsmanager", "secret:"+name+"-"+shortID(r.stack.name, id)[:6]), err
	case "AWS::SecretsManager::SecretTargetAttachment":
		return r.text(r.stack.template.Resources[id].Properties["SecretId"])
	case busType:
		return r.nameOf(id, "Name", 256)
	case workspaceType:
		return "ws-" + uuid(r.stack.name, id), nil
	case ruleGroupsType:
		return r.nameOf(id, "Name", 128)
	case "AWS::SNS::Topic":
		return r.arn("sns", r.stack.name+"-"+id), nil
	default:
		return r.stack.name + "-" + id, nil
	}
}

// attribute is what Fn::GetAtt returns. Attributes of resources that are not emulated have
// a value that names them.
func (r *resolver) attribute(id, attribute string) (string, error) {
	t := r.stack.template.Resources[id].Type
	physical, err := r.physicalID(id)
	if err != nil {
		return "", err
	}
	switch t + "." + attribute {
	case "AWS::Lambda::Function.Arn":
		return r.arn("lambda", "function:"+physical), nil
	case "AWS::Kinesis::Stream.Arn":
		return r.arn("kinesis", "stream/"+physical), nil
	case "AWS::S3::Bucket.Arn":
		return "arn:aws:s3:::" + physical, nil
	case keyType + ".Arn":
		return r.arn("kms", "key/"+physical), nil
	case keyType + ".KeyId":
		return physical, nil
	case "AWS::IAM::Role.Arn":
		return "arn:aws:iam::" + r.stack.account + ":role/" + physical, nil
	case "AWS::ApiGatewayV2::Api.ApiEndpoint":
		return fmt.Sprintf("https://%s.execute-api.%s.amazonaws.com", physical, r.stack.region), nil
	case "AWS::ApiGatewayV2::Api.ApiId", "AWS::ApiGatewayV2::Authorizer.AuthorizerId", "AWS::SecretsManager::Secret.Id":
		return physical, nil
	case workspaceType + ".Arn":
		return r.arn("aps", "workspace/"+physical), nil
	case workspaceType + ".WorkspaceId":
		return physical, nil
	case workspaceType + ".PrometheusEndpoint":
		return fmt.Sprintf("https://aps-workspaces.%s.amazonaws.com/workspaces/%s/", r.stack.region, physical), nil
	case "AWS::Lambda::Version.FunctionArn":
		return physical, nil
	case "AWS::Lambda::Version.Version":
		return "1", nil
	case "AWS::Kinesis::StreamConsumer.ConsumerARN":
		stream, err := r.text(r.stack.template.Resources[id].Properties["StreamARN"])
		return stream + "/consumer/" + id + ":1", err
	case busType + ".Arn":
		return r.arn("events", "event-bus/"+physical), nil
	case busType + ".Name":
		return physical, nil
	case ruleType + ".Arn":
		return r.arn("events", "rule/"+physical), nil
	case scheduleType + ".Arn":
		return r.arn("scheduler", "schedule/default/"+physical), nil
	}
	if attribute == "Arn" {
		_, service, _ := strings.Cut(t, "::")
		service, _, _ = strings.Cut(service, "::")
		return r.arn(strings.ToLower(service), physical), nil
	}
	return physical + "." + attribute, nil
}

func (r *resolver) arn(service, resource string) string {
	return "arn:aws:" + service + ":" + r.stack.region + ":" + r.stack.account + ":" + resource
}
