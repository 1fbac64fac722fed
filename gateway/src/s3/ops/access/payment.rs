//! GetBucketRequestPayment, PutBucketRequestPayment: who pays for requests and transfer.

/// GetBucketRequestPayment.
pub(in crate::s3) mod get_payment {
    use metadata::Catalog;
    use metadata::records::ConfigKind;
    use s3s::dto::{GetBucketRequestPaymentInput, GetBucketRequestPaymentOutput, Payer};
    use s3s::{S3Request, S3Result};

    use crate::s3::authorize::{Authorized, Gate, GetBucketRequestPayment, REQUESTER};
    use crate::s3::error;

    pub(in crate::s3) async fn run(
        gate: &Gate,
        catalog: &Catalog,
        request: S3Request<GetBucketRequestPaymentInput>,
    ) -> S3Result<GetBucketRequestPaymentOutput> {
        let input = &request.input;
        let allowed: Authorized<GetBucketRequestPayment> =
            gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
        let kind = ConfigKind::RequestPayment;
        let found = catalog.bucket_config(allowed.id(), kind, "").await.map_err(error::catalog)?;
        let requester = found.is_some_and(|payer| payer == REQUESTER);
        let payer = if requester { Payer::REQUESTER } else { Payer::BUCKET_OWNER };
        Ok(GetBucketRequestPaymentOutput { payer: Some(Payer::from_static(payer)) })
    }
}

/// PutBucketRequestPayment.
pub(in crate::s3) mod put_payment {
    use metadata::Catalog;
    use metadata::records::ConfigKind;
    use s3s::dto::{Payer, PutBucketRequestPaymentInput, PutBucketRequestPaymentOutput};
    use s3s::{S3Error, S3ErrorCode, S3Request, S3Result};

    use crate::s3::authorize::{Authorized, Gate, PutBucketRequestPayment, REQUESTER};
    use crate::s3::error;

    pub(in crate::s3) async fn run(
        gate: &Gate,
        catalog: &Catalog,
        request: S3Request<PutBucketRequestPaymentInput>,
    ) -> S3Result<PutBucketRequestPaymentOutput> {
        let input = &request.input;
        let allowed: Authorized<PutBucketRequestPayment> =
            gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
        let (at, kind) = (allowed.at(), ConfigKind::RequestPayment);
        let changed = match input.request_payment_configuration.payer.as_str() {
            Payer::REQUESTER => catalog.put_bucket_config(&at, kind, "", REQUESTER.to_vec()).await,
            Payer::BUCKET_OWNER => catalog.delete_bucket_config(&at, kind, "").await.map(|_| ()),
            _ => return Err(S3Error::new(S3ErrorCode::MalformedXML)),
        };
        gate.forget_bucket(allowed.id());
        changed.map_err(error::catalog)?;
        Ok(PutBucketRequestPaymentOutput::default())
    }
}
